package telegram

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"image"
	_ "image/jpeg" // photos are JPEG
	_ "image/png"  // or PNG
	"mime"
	"net/http"
	"path"
	"strings"
)

// Limits of photos and of downloads.
const (
	maxPhotoBytes    = 10 << 20
	maxPhotoSides    = 10000
	maxPhotoRatio    = 20
	maxDownloadBytes = 20 << 20
)

// file is one stored upload.
type file struct {
	id, unique    string
	photo         bool
	data          []byte
	mime, name    string
	path          string
	width, height int
}

// media is the photo or document of a message.
type media struct {
	file *file
}

// key is equal for equal media.
func (m *media) key() string {
	if m == nil {
		return ""
	}
	return m.file.id
}

// show fills the fields of a message object.
func (m *media) show(w *wireMessage, spoiler bool) {
	f := m.file
	if f.photo {
		w.HasSpoiler = spoiler
		w.Photo = []wirePhoto{{FileID: f.id, FileUniqueID: f.unique, Width: f.width, Height: f.height, FileSize: len(f.data)}}
		return
	}
	w.Document = &wireDocument{FileID: f.id, FileUniqueID: f.unique, FileName: f.name, MimeType: f.mime, FileSize: len(f.data)}
}

// describe fills the fields of a snapshot.
func (m *media) describe(out *Message) {
	if m.file.photo {
		out.PhotoFileID = m.file.id
		return
	}
	out.DocumentFileID, out.DocumentName = m.file.id, m.file.name
}

// readMedia finds the file that a value names: an upload, an attach:// reference or a file_id.
func (s *Server) readMedia(c *call, name, value string, photo bool) (*media, error) {
	up := c.files[name]
	if attached, ok := strings.CutPrefix(value, "attach://"); ok {
		up = c.files[attached]
	}
	switch {
	case up != nil && photo:
		return s.storePhoto(up)
	case up != nil:
		return s.storeDocument(up)
	case strings.HasPrefix(value, "http://"), strings.HasPrefix(value, "https://"):
		return nil, badRequest("sandbox: failed to get HTTP URL content: the sandbox fetches no files")
	case value == "":
		return nil, badRequest("there is no %s in the request", kindName(photo))
	}
	return s.reuse(value, photo)
}

// reuse finds a stored file by its id.
func (s *Server) reuse(id string, photo bool) (*media, error) {
	f, ok := s.files[id]
	if !ok {
		return nil, badRequest("wrong file identifier/HTTP URL specified")
	}
	if f.photo != photo {
		return nil, badRequest("can't use file of type %s as %s", upperFirst(kindName(f.photo)), upperFirst(kindName(photo)))
	}
	return &media{file: f}, nil
}

func kindName(photo bool) string {
	if photo {
		return "photo"
	}
	return "document"
}

func (s *Server) storePhoto(up *upload) (*media, error) {
	switch {
	case len(up.data) == 0:
		return nil, badRequest("file must be non-empty")
	case len(up.data) > maxPhotoBytes:
		return nil, badRequest("file of size %d bytes is too big for a photo; the maximum size is %d bytes", len(up.data), maxPhotoBytes)
	}
	header, format, err := image.DecodeConfig(bytes.NewReader(up.data))
	if err != nil || header.Width == 0 || header.Height == 0 {
		return nil, badRequest("IMAGE_PROCESS_FAILED")
	}
	long, short := max(header.Width, header.Height), min(header.Width, header.Height)
	if long+short > maxPhotoSides || long > maxPhotoRatio*short {
		return nil, badRequest("PHOTO_INVALID_DIMENSIONS")
	}
	f := s.store(up, true)
	f.mime, f.width, f.height = "image/"+format, header.Width, header.Height
	return &media{file: f}, nil
}

func (s *Server) storeDocument(up *upload) (*media, error) {
	switch {
	case len(up.data) == 0:
		return nil, badRequest("file must be non-empty")
	case len(up.data) > maxDocumentBytes:
		return nil, &apiError{code: http.StatusRequestEntityTooLarge, text: "Request Entity Too Large"}
	}
	f := s.store(up, false)
	f.mime = documentMIME(up)
	return &media{file: f}, nil
}

func documentMIME(up *upload) string {
	if kind := mime.TypeByExtension(path.Ext(up.name)); kind != "" {
		return kind
	}
	if up.mime != "" && up.mime != "application/octet-stream" {
		return up.mime
	}
	return http.DetectContentType(up.data)
}

func (s *Server) store(up *upload, photo bool) *file {
	folder := kindName(photo) + "s"
	f := &file{
		id: randomName(30), unique: randomName(9), photo: photo, data: up.data, name: path.Base(up.name),
		path: fmt.Sprintf("%s/file_%d%s", folder, len(s.files), path.Ext(up.name)),
	}
	s.files[f.id] = f
	return f
}

// randomName makes an identifier of n random bytes.
func randomName(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (s *Server) getFile(c *call) (any, error) {
	f, ok := s.files[c.text("file_id")]
	if !ok {
		return nil, badRequest("invalid file_id")
	}
	if len(f.data) > maxDownloadBytes {
		return nil, badRequest("file is too big")
	}
	return wireFile{FileID: f.id, FileUniqueID: f.unique, FileSize: len(f.data), FilePath: f.path}, nil
}

// serveFile answers a download of <token>/<file_path>.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, rest string) {
	token, name, _ := strings.Cut(rest, "/")
	if err := s.authorise(token); err != nil {
		s.respond(w, nil, err)
		return
	}
	f := s.fileAt(name)
	if f == nil || len(f.data) > maxDownloadBytes {
		s.respond(w, nil, notFound(""))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.data)
	}
}

func (s *Server) fileAt(name string) *file {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.path == name {
			return f
		}
	}
	return nil
}

// File returns the content of an uploaded file; the caller must not change it.
func (s *Server) File(fileID string) (data []byte, mime string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[fileID]
	if !ok {
		return nil, "", false
	}
	return f.data, f.mime, true
}
