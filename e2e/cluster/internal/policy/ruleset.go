package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Ruleset renders the whole nftables table. Loaded with `nft -f` it replaces
// the former one in a single transaction: no packet ever sees half of it.
//
// Only the first packets of a connection's own direction are judged anew each
// time; answers pass. So a policy that comes later also ends what is running.
func (w World) Ruleset() (string, error) {
	var known, sending, receiving []string
	chains := map[string]string{}
	for _, pod := range w.Pods {
		address := pod.Address.String()
		known = append(known, address)
		for _, way := range []struct {
			direction direction
			prefix    string
			verdicts  *[]string
		}{{egress, "from_", &sending}, {ingress, "to_", &receiving}} {
			matches, isolated, err := w.permissions(pod, way.direction)
			if err != nil {
				return "", err
			}
			if isolated {
				name := chainFor(chains, way.prefix, matches)
				*way.verdicts = append(*way.verdicts, address+" : jump "+name)
			}
		}
	}
	var out strings.Builder
	out.WriteString("table inet longshore_policy\ndelete table inet longshore_policy\ntable inet longshore_policy {\n")
	writeElements(&out, "set pods", "ipv4_addr", known)
	writeElements(&out, "map sending", "ipv4_addr : verdict", sending)
	writeElements(&out, "map receiving", "ipv4_addr : verdict", receiving)
	names := make([]string, 0, len(chains))
	for name := range chains {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&out, "  chain %s {\n%s  }\n", name, chains[name])
	}
	out.WriteString(hooks)
	out.WriteString("}\n")
	return out.String(), nil
}

// hooks: packets from a pod come in by an interface named veth*. A pod speaks
// with its own address only (the way back to it must lead to where the packet
// came from), and only once it is known.
const hooks = `  chain origin {
    type filter hook prerouting priority raw; policy accept;
    iifname "veth*" meta nfproto ipv6 drop
    iifname "veth*" fib saddr . iif oif missing drop
  }
  chain through {
    type filter hook forward priority filter; policy accept;
    iifname "veth*" ip saddr != @pods drop
    oifname "veth*" ip daddr != @pods drop
    ct direction reply ct state established,related accept
    ct state related accept
    ip saddr vmap @sending
    ip daddr vmap @receiving
  }
  chain to_node {
    type filter hook input priority filter; policy accept;
    iifname "veth*" ip saddr != @pods drop
    ct direction reply ct state established,related accept
    ct state related accept
    ip saddr vmap @sending
  }
`

// chainFor names a chain by its content, so that pods with equal permissions
// share one. A refusal is told to the sender, who need not wait for a timeout:
// by a reset for TCP, since an ICMP error that arrives while connect() still
// holds the socket only counts after the next try, a second later.
func chainFor(chains map[string]string, prefix string, matches []string) string {
	var body strings.Builder
	for _, match := range matches {
		fmt.Fprintf(&body, "    %s\n", strings.TrimSpace(match+" return"))
	}
	body.WriteString("    meta l4proto tcp reject with tcp reset\n")
	body.WriteString("    reject with icmpx admin-prohibited\n")
	sum := sha256.Sum256([]byte(body.String()))
	name := prefix + hex.EncodeToString(sum[:8])
	chains[name] = body.String()
	return name
}

func writeElements(out *strings.Builder, what, kind string, elements []string) {
	fmt.Fprintf(out, "  %s {\n    type %s\n", what, kind)
	if len(elements) > 0 {
		slices.Sort(elements)
		fmt.Fprintf(out, "    elements = { %s }\n", strings.Join(elements, ", "))
	}
	out.WriteString("  }\n")
}
