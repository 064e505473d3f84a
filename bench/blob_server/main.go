// A read-only Blob and S3 storage whose blobs are computed, not stored: of any size, and as quick as
// the kernel's sendfile, so that what reads from it is what is measured.
//
// Azurite's throughput is that of one Node process; a benchmark that reads from it measures Azurite.
// /ACCOUNT/CONTAINER/KIND-SIZE-SEED is SIZE bytes of the file KIND.block, turned by SEED and
// repeated; KIND-SIZE-SEED-COUNT/part-N is the Nth of COUNT blobs that are SIZE bytes together.
// S3's requests, known by their signature, have them below /BUCKET/. Nobody is asked for a key.
//
// The second listener is far away: each answer begins late, and the kernel paces each connection.
package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	turnBytes     = 1_000_003 // how far a block is turned by each seed
	maxPacingRate = 47        // SO_MAX_PACING_RATE, which package syscall lacks
)

var (
	blocks   = map[string]block{}
	modified = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

type block struct {
	path string
	size int64
}

type blob struct {
	block      block
	turn, size int64
}

// send writes [start, stop): the file's own pages, by sendfile.
func (b *blob) send(w io.Writer, start, stop int64) error {
	file, err := os.Open(b.block.path)
	if err != nil {
		return err
	}
	defer file.Close()
	for start < stop {
		from := (b.turn + start) % b.block.size
		count := min(b.block.size-from, stop-start)
		if _, err := file.Seek(from, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(w, file, count); err != nil {
			return err
		}
		start += count
	}
	return nil
}

// family is what a name says: one blob, or count of them.
type family struct {
	kind              string
	size, seed, count int64
}

func parse(name string) (family, error) {
	words := strings.Split(name, "-")
	if len(words) < 3 || len(words) > 4 || blocks[words[0]].size == 0 {
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
	turn := (f.seed*f.count + number) * turnBytes % block.size
	return &blob{block: block, turn: turn, size: f.size / f.count}, nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	isS3 := strings.HasPrefix(r.Header.Get("Authorization"), "AWS4")
	folders := 2 // before the name: account and container, or the bucket
	if isS3 {
		folders = 1
	}
	h := w.Header()
	h.Set("x-ms-version", "2023-11-03")
	h.Set("x-ms-request-id", "00000000-0000-0000-0000-000000000000")
	words := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", folders+1)
	if query := r.URL.Query(); query.Get("comp") == "list" {
		listBlobs(w, query.Get("prefix"))
		return
	} else if query.Get("list-type") == "2" {
		listObjects(w, query.Get("prefix"))
		return
	}
	if len(words) <= folders {
		refuse(w, http.StatusNotFound, "ResourceNotFound")
		return
	}
	name := words[folders]
	found, err := open(name)
	if err != nil {
		refuse(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	h.Set("ETag", etag(name))
	if wanted := r.Header.Get("If-Match"); wanted != "" && wanted != "*" && wanted != etag(name) {
		refuse(w, http.StatusPreconditionFailed, "ConditionNotMet")
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Last-Modified", modified.Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("x-ms-blob-type", "BlockBlob")
	given := r.Header.Get("x-ms-range")
	if given == "" {
		given = r.Header.Get("Range")
	}
	start, stop, ok := parseRange(given, found.size)
	if !ok {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", found.size))
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	h.Set("Content-Length", strconv.FormatInt(stop-start, 10))
	if given != "" {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, stop-1, found.size))
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method != http.MethodHead {
		_ = found.send(w, start, stop) // who hangs up has his reasons
	}
}

// parseRange knows what storage clients send: nothing, or bytes=A-B, or bytes=A-.
func parseRange(given string, size int64) (start, stop int64, ok bool) {
	if given == "" {
		return 0, size, true
	}
	from, to, _ := strings.Cut(strings.TrimPrefix(given, "bytes="), "-")
	start, err := strconv.ParseInt(from, 10, 64)
	if err != nil || start >= size {
		return 0, 0, false
	}
	last, err := strconv.ParseInt(to, 10, 64)
	if to == "" {
		last, err = size-1, nil
	}
	return start, min(last+1, size), err == nil && last >= start
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

func listBlobs(w http.ResponseWriter, prefix string) {
	list(w, prefix, "EnumerationResults", "Blobs", func(name string, size int64) string {
		return fmt.Sprintf("<Blob><Name>%s</Name><Properties>"+
			"<Creation-Time>%[2]s</Creation-Time><Last-Modified>%[2]s</Last-Modified><Etag>%[3]s</Etag>"+
			"<Content-Length>%[4]d</Content-Length><Content-Type>application/octet-stream</Content-Type>"+
			"<BlobType>BlockBlob</BlobType></Properties></Blob>",
			name, modified.Format(http.TimeFormat), strings.Trim(etag(name), `"`), size)
	})
}

func listObjects(w http.ResponseWriter, prefix string) {
	list(w, prefix, "ListBucketResult", "", func(name string, size int64) string {
		return fmt.Sprintf("<Contents><Key>%s</Key><LastModified>%s</LastModified>"+
			"<ETag>%s</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>",
			name, modified.Format("2006-01-02T15:04:05.000Z"), escaped(etag(name)), size)
	})
}

func list(w http.ResponseWriter, prefix, root, inside string, entry func(string, int64) string) {
	var body bytes.Buffer
	fmt.Fprintf(&body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><%s><Prefix>%s</Prefix>", root, escaped(prefix))
	if inside != "" {
		fmt.Fprintf(&body, "<%s>", inside)
	}
	group, _, _ := strings.Cut(prefix, "/")
	if f, err := parse(group); err == nil && f.count > 1 {
		for number := range f.count {
			body.WriteString(entry(fmt.Sprintf("%s/part-%d", group, number), f.size/f.count))
		}
	}
	if inside != "" {
		fmt.Fprintf(&body, "</%s><NextMarker/>", inside)
	} else {
		body.WriteString("<IsTruncated>false</IsTruncated>")
	}
	fmt.Fprintf(&body, "</%s>", root)
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(body.Bytes())
}

func escaped(text string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(text))
	return out.String()
}

// farAway delays each answer, and lets no connection send more than rate bytes a second.
func farAway(address string, latency time.Duration, rate int) error {
	paced := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(socket uintptr) { // what is accepted inherits it
			failed = syscall.SetsockoptInt(int(socket), syscall.SOL_SOCKET, maxPacingRate, rate)
		})
		return errors.Join(err, failed)
	}}
	listener, err := paced.Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(latency)
		serve(w, r)
	}))
}

func main() {
	listen := flag.String("listen", "", "address")
	far := flag.String("far", "", "address of the far listener; none without")
	latency := flag.Duration("latency", 0, "of the far listener")
	rate := flag.Int("rate", 0, "bytes a second on each of its connections")
	folder := flag.String("blocks", "", "folder of the *.block files")
	flag.Parse()
	files, _ := filepath.Glob(filepath.Join(*folder, "*.block"))
	for _, file := range files {
		about, err := os.Stat(file)
		if err != nil {
			log.Fatal(err)
		}
		blocks[strings.TrimSuffix(filepath.Base(file), ".block")] = block{file, about.Size()}
	}
	if *far != "" {
		go func() { log.Fatal(farAway(*far, *latency, *rate)) }()
	}
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(serve)))
}
