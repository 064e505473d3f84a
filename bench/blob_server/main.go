// A read-only Blob storage whose blobs are computed, not stored: as quick as memory, and of any size.
//
// Azurite's throughput is that of one Node process; a benchmark that reads from it measures Azurite.
// /ACCOUNT/CONTAINER/KIND-SIZE-SEED is SIZE bytes of the file KIND.block, turned by SEED and
// repeated; KIND-SIZE-SEED-COUNT/part-N is the Nth of COUNT blobs that are SIZE bytes together.
package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const turnBytes = 1_000_003 // how far a block is turned by each seed

var (
	blocks   = map[string][]byte{}
	modified = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// blob reads as a file does: http.ServeContent does ranges and conditions over it.
type blob struct {
	block            []byte
	turn, size, here int64
}

func (b *blob) Read(into []byte) (int, error) {
	if b.here >= b.size {
		return 0, io.EOF
	}
	from := (b.turn + b.here) % int64(len(b.block))
	into = into[:min(int64(len(into)), b.size-b.here)]
	n := copy(into, b.block[from:])
	b.here += int64(n)
	return n, nil
}

func (b *blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.here
	case io.SeekEnd:
		offset += b.size
	}
	b.here = offset
	return offset, nil
}

// family is what a name says: one blob, or count of them.
type family struct {
	kind              string
	size, seed, count int64
}

func parse(name string) (family, error) {
	words := strings.Split(name, "-")
	if len(words) < 3 || len(words) > 4 || blocks[words[0]] == nil {
		return family{}, errors.New("no such blob")
	}
	numbers := []int64{0, 0, 1}
	for i, word := range words[1:] {
		number, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return family{}, err
		}
		numbers[i] = number
	}
	return family{words[0], numbers[0], numbers[1], numbers[2]}, nil
}

func open(name string) (*blob, error) {
	group, part, isPart := strings.Cut(name, "/part-")
	f, err := parse(group)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt("0"+part, 10, 64)
	if err != nil || number >= f.count || isPart != (f.count > 1) {
		return nil, errors.New("no such blob")
	}
	block := blocks[f.kind]
	turn := (f.seed*f.count + number) * turnBytes % int64(len(block))
	return &blob{block: block, turn: turn, size: f.size / f.count}, nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("x-ms-version", "2023-11-03")
	h.Set("x-ms-request-id", "00000000-0000-0000-0000-000000000000")
	words := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if r.URL.Query().Get("comp") == "list" {
		list(w, r.URL.Query().Get("prefix"))
		return
	}
	if len(words) < 3 {
		refuse(w, http.StatusNotFound, "ResourceNotFound")
		return
	}
	found, err := open(words[2])
	if err != nil {
		refuse(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	if given := r.Header.Get("x-ms-range"); given != "" {
		r.Header.Set("Range", given)
	}
	h.Set("ETag", etag(words[2]))
	if wanted := r.Header.Get("If-Match"); wanted != "" && wanted != "*" && wanted != etag(words[2]) {
		refuse(w, http.StatusPreconditionFailed, "ConditionNotMet")
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("x-ms-blob-type", "BlockBlob")
	http.ServeContent(w, r, "", modified, found)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code>"+
		"<Message>refused</Message></Error>", code)
}

func etag(name string) string {
	return fmt.Sprintf("%q", "0x"+strings.ToUpper(fmt.Sprintf("%x", name)))
}

func list(w http.ResponseWriter, prefix string) {
	var blobs bytes.Buffer
	group, _, _ := strings.Cut(prefix, "/")
	if f, err := parse(group); err == nil && f.count > 1 {
		for number := range f.count {
			name := fmt.Sprintf("%s/part-%d", group, number)
			fmt.Fprintf(&blobs, "<Blob><Name>%s</Name><Properties>"+
				"<Creation-Time>%[2]s</Creation-Time><Last-Modified>%[2]s</Last-Modified><Etag>%[3]s</Etag>"+
				"<Content-Length>%[4]d</Content-Length><Content-Type>application/octet-stream</Content-Type>"+
				"<BlobType>BlockBlob</BlobType></Properties></Blob>",
				name, modified.Format(http.TimeFormat), strings.Trim(etag(name), `"`), f.size/f.count)
		}
	}
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(prefix))
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Prefix>%s</Prefix>"+
		"<Blobs>%s</Blobs><NextMarker/></EnumerationResults>", escaped.String(), blobs.String())
}

func main() {
	listen := flag.String("listen", "", "address")
	folder := flag.String("blocks", "", "folder of the *.block files")
	flag.Parse()
	files, _ := filepath.Glob(filepath.Join(*folder, "*.block"))
	for _, file := range files {
		block, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		blocks[strings.TrimSuffix(filepath.Base(file), ".block")] = block
	}
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(serve)))
}
