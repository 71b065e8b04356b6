// Package deploy tests what the shop is put into service with: the images, the
// compose file, the scripts that prepare them, the workflow. It is all tests: a module
// of its own, so that the product does not depend on Docker's libraries.
//
// No container engine is needed. The stages of the Dockerfile are built here, by the
// commands that stand in it, from what .dockerignore lets through; the result is run
// as its image would be: in a root that holds nothing else, as the image's user.
package deploy
