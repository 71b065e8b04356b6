// Package browser walks through the sandbox's shop in a real browser, by
// clicking, as a person would. It is all tests: a module of its own, so that the
// product does not depend on a browser driver.
//
// It needs Chromium and what make build makes; each is asked for by name when it
// is missing. With SCREENSHOTS=DIR the tests leave pictures in DIR.
// SALLYPORT_SANDBOX names another sandbox program than .bin/sandbox.
package browser
