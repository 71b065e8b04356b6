// Package live proves the way to a live shop: it boots a bare Debian with systemd in
// namespaces of its own, runs deploy/install.sh there, and buys access as a customer.
// Telegram, Crypto Pay and a CA (Pebble) stand in for the outside, and there is no other
// network. It is all tests: a module of its own, so that the product does not depend on
// any of this.
//
// It must be root, on Linux with cgroup v2 somewhere and apt-get. The bare system is made
// by debootstrap once for each machine and kept in the user's cache directory; those, and
// the Go toolchain that the installer fetches, are all that is downloaded.
package live
