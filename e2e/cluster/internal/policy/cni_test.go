package policy

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	networking "k8s.io/api/networking/v1"
)

const configuration = `{"cniVersion":"0.4.0","name":"x","prevResult":{"ips":[{"version":"6","address":"fd00::2/64"},{"version":"4","address":"10.0.0.7/16"}]}}`

func TestACallOfThePluginIsUnderstood(t *testing.T) {
	call, err := readInvocation(strings.NewReader("ADD\nabc\nIgnoreUnknown=1;K8S_POD_NAMESPACE=near;K8S_POD_NAME=client\n" + configuration))
	if err != nil {
		t.Fatal(err)
	}
	address, err := firstAddress(call.config.Previous)
	if err != nil || address != netip.MustParseAddr("10.0.0.7") {
		t.Errorf("the address is %s %v", address, err)
	}
	if call.command != "ADD" || call.container != "abc" || call.arguments["K8S_POD_NAMESPACE"] != "near" || call.arguments["K8S_POD_NAME"] != "client" {
		t.Errorf("understood %+v", call)
	}
}

func TestABrokenCallIsRefused(t *testing.T) {
	for _, text := range []string{"", "ADD\nabc\n", "ADD\nabc\n\nno json"} {
		if _, err := readInvocation(strings.NewReader(text)); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
	for _, result := range []string{"", "{}", `{"ips":[{"address":"fd00::2/64"}]}`} {
		if address, err := firstAddress([]byte(result)); err == nil {
			t.Errorf("%q gives the address %s", result, address)
		}
	}
}

func TestThePluginFailsWithoutAnEngine(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, PluginName)
	if err := os.WriteFile(script, PluginScript(filepath.Join(dir, "none.sock")), 0o755); err != nil {
		t.Fatal(err)
	}
	call := func(command string) (string, error) {
		plugin := exec.Command(script)
		plugin.Env = []string{"PATH=" + os.Getenv("PATH"), "CNI_COMMAND=" + command}
		plugin.Stdin = strings.NewReader(configuration)
		out, err := plugin.Output()
		return string(out), err
	}
	if out, err := call("ADD"); err == nil || !strings.Contains(out, `"code":11`) {
		t.Errorf("ADD without an engine: %v %s", err, out)
	}
	if out, err := call("DEL"); err != nil {
		t.Errorf("DEL where no engine has run: %v %s", err, out)
	}
}

func TestAttachmentsOutliveTheEngineAndAnAddressHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	known, err := OpenAttachments(dir)
	if err != nil {
		t.Fatal(err)
	}
	shared := netip.MustParseAddr("10.0.0.1")
	for _, one := range []Attachment{
		{"first", "near", "a", shared}, {"second", "near", "b", shared}, {"third", "near", "c", netip.MustParseAddr("10.0.0.2")},
	} {
		if err := known.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := known.Remove("third"); err != nil {
		t.Fatal(err)
	}
	if err := known.Remove("unknown"); err != nil {
		t.Error("forgetting the unknown:", err)
	}
	again, err := OpenAttachments(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list := again.List(); len(list) != 1 || list[0].Container != "second" {
		t.Errorf("a new engine knows %+v, want the second alone", list)
	}
}

func TestResourceVersionsAreComparedAsNumbers(t *testing.T) {
	version := func(number string) *networking.NetworkPolicy {
		o := &networking.NetworkPolicy{}
		o.SetResourceVersion(number)
		return o
	}
	if !older(version("99"), version("100")) || older(version("100"), version("99")) || older(version("7"), version("7")) {
		t.Error("99 is older than 100, and nothing else")
	}
}
