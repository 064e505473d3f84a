module modelferry.test/pause

go 1.26
