package telegram_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pngHeader is the beginning of a picture that would be too big to make.
func pngHeader(width, height uint32) []byte {
	chunk := append([]byte("IHDR"), make([]byte, 13)...)
	binary.BigEndian.PutUint32(chunk[4:], width)
	binary.BigEndian.PutUint32(chunk[8:], height)
	chunk[12] = 8
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
}

func jpegOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (w *world) upload(method string, parts ...part) sent {
	w.t.Helper()
	r := w.multipart(method, append(parts, part{"chat_id", "", []byte("1001")})...)
	var m sent
	if err := json.Unmarshal(r.Result, &m); err != nil || !r.OK {
		w.t.Fatalf("%s: %d %s %v", method, r.Status, r.Description, err)
	}
	return m
}

func TestPhotosAreUploadedAndReused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	picture := pngOf(t, 300, 200)
	m := w.upload("sendPhoto", part{"photo", "qr.png", picture}, part{"caption", "", []byte("<b>QR</b>")}, part{"parse_mode", "", []byte("HTML")})
	if len(m.Photo) != 1 || m.Photo[0].Width != 300 || m.Photo[0].Height != 200 || m.Caption != "QR" || m.Text != "" {
		t.Fatalf("got %+v", m)
	}
	id := m.Photo[0].FileID
	stored, kind, ok := w.tg.File(id)
	if !ok || kind != "image/png" || !bytes.Equal(stored, picture) {
		t.Errorf("stored %d bytes of %s", len(stored), kind)
	}
	if shown := w.tg.Chat(1001).Messages[1]; shown.PhotoFileID != id || shown.HTML != "<b>QR</b>" {
		t.Errorf("shown %+v", shown)
	}
	var again sent
	w.must("sendPhoto", params{"chat_id": 1001, "photo": id}, &again)
	if again.Photo[0].FileID != id {
		t.Errorf("got %+v", again)
	}
	if m := w.upload("sendPhoto", part{"picture", "qr.jpg", jpegOf(t, 10, 20)}, part{"photo", "", []byte("attach://picture")}); m.Photo[0].Height != 20 {
		t.Errorf("attached %+v", m)
	}
	if _, _, ok := w.tg.File("nothing"); ok {
		t.Error("an unknown file was found")
	}
}

func TestFilesAreDownloaded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.upload("sendDocument", part{"document", "wg.conf.txt", []byte("[Interface]")})
	if m.Document.FileName != "wg.conf.txt" || !strings.HasPrefix(m.Document.MimeType, "text/plain") {
		t.Errorf("got %+v", m.Document)
	}
	var file struct {
		FilePath string `json:"file_path"`
		FileSize int    `json:"file_size"`
	}
	w.must("getFile", params{"file_id": m.Document.FileID}, &file)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http.URL+"/file/bot"+token+"/"+file.FilePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	if string(body) != "[Interface]" || file.FileSize != len(body) {
		t.Errorf("got %q, size %d", body, file.FileSize)
	}
	w.refused(400, "invalid file_id", "getFile", params{"file_id": "x"})
	w.refused(400, "can't use file of type Document as Photo", "sendPhoto", params{"chat_id": 1001, "photo": m.Document.FileID})
}

func TestBigFilesAreNotDownloaded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.upload("sendDocument", part{"document", "big.bin", make([]byte, 20<<20+1)})
	w.refused(400, "file is too big", "getFile", params{"file_id": m.Document.FileID})
	r := w.multipart("sendDocument", part{"document", "huge.bin", make([]byte, 50<<20+1)}, part{"chat_id", "", []byte("1001")})
	if r.Status != 413 || r.Description != "Request Entity Too Large" {
		t.Errorf("got %d %s", r.Status, r.Description)
	}
}

func TestPhotosAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	cases := map[string]struct {
		data []byte
		text string
	}{
		"when empty":        {nil, "file must be non-empty"},
		"when no picture":   {[]byte("hello"), "IMAGE_PROCESS_FAILED"},
		"over 10 MB":        {make([]byte, 10<<20+1), "file of size 10485761 bytes is too big for a photo; the maximum size is 10485760 bytes"},
		"when too narrow":   {pngOf(t, 210, 10), "PHOTO_INVALID_DIMENSIONS"},
		"when sides exceed": {pngHeader(5001, 5000), "PHOTO_INVALID_DIMENSIONS"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			r := w.multipart("sendPhoto", part{"photo", "x.png", tc.data}, part{"chat_id", "", []byte("1001")})
			if r.Status != 400 || !strings.Contains(r.Description, tc.text) {
				t.Errorf("got %d %q, want %q", r.Status, r.Description, tc.text)
			}
		})
	}
	w.refused(400, "wrong file identifier/HTTP URL specified", "sendPhoto", params{"chat_id": 1001, "photo": "AgAC"})
	w.refused(400, "sandbox: failed to get HTTP URL content", "sendPhoto", params{"chat_id": 1001, "photo": "https://a.b/c.png"})
	w.refused(400, "there is no photo in the request", "sendPhoto", params{"chat_id": 1001, "photo": ""})
	w.refused(400, `parameter "photo" is required`, "sendPhoto", params{"chat_id": 1001})
	w.refused(400, "message caption is too long", "sendPhoto", params{"chat_id": 1001, "photo": "x", "caption": strings.Repeat("x", 1025)})
}

func TestMediaMessagesAreEdited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.upload("sendPhoto", part{"photo", "qr.png", pngOf(t, 30, 30)}, part{"caption", "", []byte("one")})
	id := params{"chat_id": 1001, "message_id": m.MessageID}
	with := func(name string, value any) params {
		return params{"chat_id": id["chat_id"], "message_id": id["message_id"], name: value}
	}
	w.refused(400, "there is no text in the message to edit", "editMessageText", with("text", "x"))
	var edited sent
	w.must("editMessageCaption", with("caption", "two"), &edited)
	if edited.Caption != "two" || len(edited.Photo) != 1 {
		t.Errorf("got %+v", edited)
	}
	w.refused(400, "message is not modified", "editMessageCaption", with("caption", "two"))
	w.refused(400, "message caption is too long", "editMessageCaption", with("caption", strings.Repeat("x", 1025)))
	same := params{"type": "photo", "media": m.Photo[0].FileID, "caption": "two"}
	w.refused(400, "message is not modified", "editMessageMedia", with("media", same))
	w.refused(501, "does not emulate input media of type video", "editMessageMedia", with("media", params{"type": "video", "media": "x"}))
	edited = w.upload("editMessageMedia", part{"message_id", "", []byte(strconv.Itoa(m.MessageID))},
		part{"media", "", []byte(`{"type":"document","media":"attach://file","caption":"<i>three</i>","parse_mode":"HTML"}`)},
		part{"file", "a.txt", []byte("text")})
	if edited.Document.FileName != "a.txt" || edited.Caption != "three" || len(edited.Photo) != 0 {
		t.Errorf("got %+v", edited)
	}
	if shown := w.tg.Chat(1001).Messages[1]; shown.DocumentName != "a.txt" || shown.PhotoFileID != "" {
		t.Errorf("shown %+v", shown)
	}
}

func TestTextBecomesPhoto(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("text", nil)
	edited := w.upload("editMessageMedia", part{"message_id", "", []byte(strconv.Itoa(m.MessageID))},
		part{"media", "", []byte(`{"type":"photo","media":"attach://qr"}`)}, part{"qr", "qr.png", pngOf(t, 9, 9)})
	if len(edited.Photo) != 1 || edited.Text != "" {
		t.Errorf("got %+v", edited)
	}
}
