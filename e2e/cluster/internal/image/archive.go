// Package image owns how images get into the cluster without a registry:
// reading archives, importing them into containerd, and writing the one image
// that every cluster needs.
package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Image is one image of an archive.
type Image struct {
	Names []string
	// ID is the digest of the configuration, which CRI calls the image's id.
	ID string
}

// smallBlob bounds what can be a manifest; layers are skipped unread.
const smallBlob = 4 << 20

const (
	nameAnnotation    = "io.containerd.image.name"
	refNameAnnotation = "org.opencontainers.image.ref.name"
)

type descriptor struct {
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// Inspect says what an OCI or docker archive (an uncompressed tar) contains.
func Inspect(path string) ([]Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	documents, err := smallFiles(file)
	if err != nil {
		return nil, fmt.Errorf("%s is no plain tar archive: %w", path, err)
	}
	images, err := fromDocuments(documents)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return images, nil
}

func smallFiles(file io.Reader) (map[string][]byte, error) {
	documents := map[string][]byte{}
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag == tar.TypeReg && header.Size <= smallBlob {
			if documents[strings.TrimPrefix(header.Name, "./")], err = io.ReadAll(archive); err != nil {
				return nil, err
			}
		}
	}
}

func fromDocuments(documents map[string][]byte) ([]Image, error) {
	if index, ok := documents["index.json"]; ok {
		return fromIndex(index, documents)
	}
	if manifest, ok := documents["manifest.json"]; ok {
		return fromDockerManifest(manifest)
	}
	return nil, errors.New("neither index.json (OCI) nor manifest.json (docker) is in the archive")
}

func fromIndex(body []byte, documents map[string][]byte) ([]Image, error) {
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var images []Image
	for _, entry := range index.Manifests {
		name := entry.Annotations[nameAnnotation]
		if name == "" {
			name = entry.Annotations[refNameAnnotation]
		}
		if name == "" {
			return nil, fmt.Errorf("image %s has no name: set the annotation %s", entry.Digest, nameAnnotation)
		}
		id, err := configDigest(entry.Digest, documents)
		if err != nil {
			return nil, err
		}
		images = append(images, Image{Names: []string{name}, ID: id})
	}
	return images, nil
}

func configDigest(manifest string, documents map[string][]byte) (string, error) {
	body, ok := documents["blobs/"+strings.Replace(manifest, ":", "/", 1)]
	if !ok {
		return "", fmt.Errorf("manifest %s is not in the archive", manifest)
	}
	var parsed struct {
		Config    descriptor   `json:"config"`
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return "", fmt.Errorf("manifest %s: %w", manifest, err)
	}
	if len(parsed.Manifests) == 1 {
		return configDigest(parsed.Manifests[0].Digest, documents)
	}
	if parsed.Config.Digest == "" {
		return "", fmt.Errorf("%s is for several platforms: write an archive for this one only", manifest)
	}
	return parsed.Config.Digest, nil
}

func fromDockerManifest(body []byte) ([]Image, error) {
	var entries []struct {
		Config   string   `json:"Config"`
		RepoTags []string `json:"RepoTags"`
	}
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var images []Image
	for _, entry := range entries {
		// "<hex>.json" or "blobs/sha256/<hex>".
		name := entry.Config[strings.LastIndex(entry.Config, "/")+1:]
		images = append(images, Image{Names: entry.RepoTags, ID: "sha256:" + strings.TrimSuffix(name, ".json")})
	}
	return images, nil
}
