// Package load is what the harnesses share: people who use the shop, the times that
// they measure, and the promises that they judge.
package load
