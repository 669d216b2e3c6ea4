package policy

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Attachment says that a pod sandbox has an address.
type Attachment struct {
	Container string     `json:"container"`
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	Address   netip.Addr `json:"address"`
}

// Attachments outlive the engine but not the cluster's namespaces: they are
// kept in memory-backed files, one per sandbox.
type Attachments struct {
	dir   string
	mutex sync.Mutex
	list  []Attachment
}

// OpenAttachments reads what an earlier engine knew.
func OpenAttachments(dir string) (*Attachments, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	known := &Attachments{dir: dir}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var attachment Attachment
		if err := json.Unmarshal(body, &attachment); err != nil {
			return nil, err
		}
		known.list = append(known.list, attachment)
	}
	return known, nil
}

// Add remembers an attachment; whoever had that address before is gone.
func (a *Attachments) Add(attachment Attachment) error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, other := range slices.Clone(a.list) {
		if other.Address == attachment.Address && other.Container != attachment.Container {
			if err := a.remove(other.Container); err != nil {
				return err
			}
		}
	}
	body, err := json.Marshal(attachment)
	if err != nil {
		return err
	}
	if err := os.WriteFile(a.file(attachment.Container), body, 0o600); err != nil {
		return err
	}
	a.list = append(slices.DeleteFunc(a.list, of(attachment.Container)), attachment)
	return nil
}

// Remove forgets a sandbox; one that is not known is no error.
func (a *Attachments) Remove(container string) error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.remove(container)
}

// List gives all attachments of this moment.
func (a *Attachments) List() []Attachment {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return slices.Clone(a.list)
}

func (a *Attachments) remove(container string) error {
	a.list = slices.DeleteFunc(a.list, of(container))
	if err := os.Remove(a.file(container)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (a *Attachments) file(container string) string {
	return filepath.Join(a.dir, filepath.Base(container)+".json")
}

func of(container string) func(Attachment) bool {
	return func(a Attachment) bool { return a.Container == container }
}
