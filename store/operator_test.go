package store_test

import "testing"

func TestTheOperatorsChatIsGreetedOnceAndFollowed(t *testing.T) {
	t.Parallel()
	s := server.Open(t)
	ctx := t.Context()
	is := func(wantChat int64, wantGreeted bool) {
		t.Helper()
		if chat, greeted, err := s.OperatorChat(ctx, -7); err != nil || chat != wantChat || greeted != wantGreeted {
			t.Errorf("chat %d, greeted %v, %v; want %d, %v", chat, greeted, err, wantChat, wantGreeted)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is(-7, false)
	must(s.MoveOperatorChat(ctx, -7, -1007))
	is(-1007, false)
	must(s.GreetOperatorChat(ctx, -7))
	must(s.GreetOperatorChat(ctx, -7))
	is(-1007, true)
	must(s.MoveOperatorChat(ctx, -7, -1008))
	is(-1008, true)
	must(s.GreetOperatorChat(ctx, -9)) // another setting knows nothing of this one
	is(-1008, true)
}
