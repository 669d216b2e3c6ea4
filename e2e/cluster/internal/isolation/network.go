package isolation

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"

	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/metadata"
	"longshore.dev/cluster/internal/outside"
)

// configureNetwork sets up the empty network namespace. The node's address
// stands on the loopback interface; pods get a point-to-point link each, so
// that every packet between two pods is routed and can be filtered. There is
// no default route: nothing leads to the machine's network or beyond.
func configureNetwork() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	addresses := []string{layout.NodeIP, metadata.Address}
	for _, name := range outside.Names {
		addresses = append(addresses, name.Address)
	}
	for _, text := range addresses {
		address, err := netlink.ParseAddr(text + "/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(loopback, address); err != nil {
			return fmt.Errorf("adding the address %s: %w", text, err)
		}
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return err
	}
	// Addresses of services are translated when a packet leaves, for which it
	// has to have a way out first.
	_, services, err := net.ParseCIDR(layout.ServiceCIDR)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: loopback.Attrs().Index, Dst: services, Src: net.ParseIP(layout.NodeIP), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("adding the route to services: %w", err)
	}
	settings := map[string]string{
		"net/ipv4/ip_forward": "1",
		// Pods have IPv4 addresses only. A link-local IPv6 address on the
		// node's end would be a way around every policy.
		"net/ipv6/conf/all/disable_ipv6":     "1",
		"net/ipv6/conf/default/disable_ipv6": "1",
	}
	for name, value := range settings {
		err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644)
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
