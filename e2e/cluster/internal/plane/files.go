package plane

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"longshore.dev/cluster/internal/layout"
)

//go:embed files
var files embed.FS

// values is what the templates below files/ may name.
type values struct {
	layout.State
	NodeName, NodeIP, PodCIDR, PodGateway, DNSIP, Domain, PauseImage string
	CgroupV1                                                         bool
}

// Render gives the configuration files by name.
func Render(state layout.State, cgroupV1 bool) (map[string][]byte, error) {
	entries, err := files.ReadDir("files")
	if err != nil {
		return nil, err
	}
	input := values{
		State: state, CgroupV1: cgroupV1,
		NodeName: layout.NodeName, NodeIP: layout.NodeIP,
		PodCIDR: layout.PodCIDR, PodGateway: layout.PodGateway,
		DNSIP: layout.DNSIP, Domain: layout.Domain, PauseImage: layout.PauseImage,
	}
	rendered := map[string][]byte{}
	for _, entry := range entries {
		parsed, err := template.New(entry.Name()).Option("missingkey=error").ParseFS(files, "files/"+entry.Name())
		if err != nil {
			return nil, err
		}
		var body bytes.Buffer
		if err := parsed.Execute(&body, input); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", entry.Name(), err)
		}
		rendered[entry.Name()] = body.Bytes()
	}
	return rendered, nil
}

// Write puts the configuration files into the state directory.
func Write(state layout.State, cgroupV1 bool) error {
	rendered, err := Render(state, cgroupV1)
	if err != nil {
		return err
	}
	for name, body := range rendered {
		file := state.Conf(name)
		// containerd reads every file of the CNI directory, so that one is
		// alone in its own.
		if filepath.Ext(name) == ".conflist" {
			file = state.Path("conf", "cni", name)
		}
		if err := os.WriteFile(file, body, 0o600); err != nil {
			return err
		}
	}
	return nil
}
