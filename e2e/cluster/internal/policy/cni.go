package policy

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// PluginName is the type of our CNI plugin, and the file name it runs by.
const PluginName = "longshore-policy"

// PluginScript is the plugin: a few lines of shell that pass a call on to the
// engine. This program itself would do, but linking all of Kubernetes costs it
// 0.1 s at every start, twice for every pod.
func PluginScript(socket string) []byte {
	return []byte(strings.ReplaceAll(pluginScript, "SOCKET", "'"+socket+"'"))
}

//go:embed cni.sh
var pluginScript string

// invocation is one call of a CNI plugin (containernetworking/cni, SPEC 0.4.0).
type invocation struct {
	command   string
	container string
	arguments map[string]string
	config    struct {
		Previous json.RawMessage `json:"prevResult"`
	}
}

// readInvocation reads what the script sends: three lines of environment, then
// the network configuration.
func readInvocation(in io.Reader) (invocation, error) {
	var call invocation
	reader := bufio.NewReader(in)
	var lines [3]string
	for i := range lines {
		line, err := reader.ReadString('\n')
		if err != nil {
			return call, fmt.Errorf("reading the call: %w", err)
		}
		lines[i] = strings.TrimSuffix(line, "\n")
	}
	call.command, call.container, call.arguments = lines[0], lines[1], pairs(lines[2])
	if call.command == "VERSION" {
		return call, nil
	}
	if err := json.NewDecoder(reader).Decode(&call.config); err != nil {
		return call, fmt.Errorf("reading the network configuration: %w", err)
	}
	return call, nil
}

// handle does what a call asks for and returns what the plugin prints.
func (e *Engine) handle(ctx context.Context, call invocation) ([]byte, error) {
	switch call.command {
	case "VERSION":
		return []byte(`{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}`), nil
	case "ADD":
		address, err := firstAddress(call.config.Previous)
		if err != nil {
			return nil, err
		}
		return call.config.Previous, e.Attach(ctx, Attachment{
			Container: call.container,
			Namespace: call.arguments["K8S_POD_NAMESPACE"],
			Pod:       call.arguments["K8S_POD_NAME"],
			Address:   address,
		})
	case "DEL":
		return nil, e.Detach(call.container)
	case "CHECK":
		return nil, nil
	default:
		return nil, fmt.Errorf("unknown command %q", call.command)
	}
}

func firstAddress(previous json.RawMessage) (netip.Addr, error) {
	var result struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	}
	if len(previous) == 0 {
		return netip.Addr{}, errors.New("no earlier plugin in the chain")
	}
	if err := json.Unmarshal(previous, &result); err != nil {
		return netip.Addr{}, fmt.Errorf("reading the earlier plugin's result: %w", err)
	}
	for _, ip := range result.IPs {
		if ip.Address.Addr().Is4() {
			return ip.Address.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("the earlier plugin gave no IPv4 address")
}

func pairs(arguments string) map[string]string {
	found := map[string]string{}
	for _, argument := range strings.Split(arguments, ";") {
		if key, value, ok := strings.Cut(argument, "="); ok {
			found[key] = value
		}
	}
	return found
}
