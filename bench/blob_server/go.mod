module blob_server

go 1.26
