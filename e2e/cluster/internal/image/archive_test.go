package image

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheArchiveWeWriteIsTheOneWeRead(t *testing.T) {
	if _, err := os.Stat(busyboxProgram); err != nil {
		t.Skip("needs ", busyboxProgram)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := WriteBusybox(path, "localhost/pause:1"); err != nil {
		t.Fatal(err)
	}
	images, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, image := range images {
		ids[image.Names[0]] = image.ID
	}
	if len(ids) != 2 || !strings.HasPrefix(ids["localhost/pause:1"], "sha256:") || ids[BusyboxImage] == ids["localhost/pause:1"] {
		t.Errorf("read %v", ids)
	}
}

func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var body bytes.Buffer
	out := tar.NewWriter(&body)
	for name, content := range files {
		if err := out.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "archive.tar")
	if err := os.WriteFile(path, body.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDockerArchivesAreReadInBothLayouts(t *testing.T) {
	for _, config := range []string{"abc.json", "blobs/sha256/abc"} {
		images, err := Inspect(archive(t, map[string]string{
			"manifest.json": `[{"Config":"` + config + `","RepoTags":["localhost/a:1","localhost/b:1"]}]`,
		}))
		if err != nil || len(images) != 1 || images[0].ID != "sha256:abc" || len(images[0].Names) != 2 {
			t.Errorf("%s: %+v %v", config, images, err)
		}
	}
}

func TestAnIndexInAnIndexIsFollowed(t *testing.T) {
	images, err := Inspect(archive(t, map[string]string{
		"index.json":         `{"manifests":[{"digest":"sha256:outer","annotations":{"org.opencontainers.image.ref.name":"localhost/a:1"}}]}`,
		"blobs/sha256/outer": `{"manifests":[{"digest":"sha256:inner"}]}`,
		"blobs/sha256/inner": `{"config":{"digest":"sha256:config"}}`,
	}))
	if err != nil || len(images) != 1 || images[0].ID != "sha256:config" || images[0].Names[0] != "localhost/a:1" {
		t.Errorf("%+v %v", images, err)
	}
}

func TestAnArchiveThatCannotBeUsedSaysWhatToDo(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"set the annotation":  {"index.json": `{"manifests":[{"digest":"sha256:a"}]}`},
		"not in the archive":  {"index.json": `{"manifests":[{"digest":"sha256:a","annotations":{"io.containerd.image.name":"x"}}]}`},
		"for this one only":   {"index.json": `{"manifests":[{"digest":"sha256:a","annotations":{"io.containerd.image.name":"x"}}]}`, "blobs/sha256/a": `{"manifests":[{"digest":"sha256:b"},{"digest":"sha256:c"}]}`},
		"neither index.json":  {"other": "x"},
		"manifest.json: json": {"manifest.json": "{"},
	} {
		_, err := Inspect(archive(t, files))
		want, _, _ = strings.Cut(want, ": json")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	gzip := filepath.Join(t.TempDir(), "image.tar.gz")
	if err := os.WriteFile(gzip, bytes.Repeat([]byte{0x1f, 0x8b}, 600), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(gzip); err == nil || !strings.Contains(err.Error(), "no plain tar archive") {
		t.Errorf("a compressed archive: %v", err)
	}
}
