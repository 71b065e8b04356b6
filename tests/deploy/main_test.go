package deploy_test

import (
	"testing"

	"sallyport/store/storetest"
)

var server *storetest.Server

func TestMain(m *testing.M) { storetest.Main(m, func(s *storetest.Server) { server = s }) }
