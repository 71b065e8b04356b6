// Package shop is the business of selling VPN access: what is sold, what an
// order and a subscription may become, how a payment is settled, and how access
// on the VPN servers follows what was paid for.
//
// It owns every rule and every use case. It knows nothing of Telegram, HTTP,
// SQL, River or Xray: the outside is reached through the small interfaces
// declared here and implemented by the adapters.
package shop
