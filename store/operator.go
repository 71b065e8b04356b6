package store

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OperatorChat returns where the chat that OPERATOR_CHAT names is now, and whether it
// was greeted.
func (s *Store) OperatorChat(ctx context.Context, named int64) (chat int64, greeted bool, err error) {
	err = s.use(ctx, "read operator's chat", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT coalesce(max(chat), $1), coalesce(bool_or(greeted_at IS NOT NULL), false)
			FROM operator_chats WHERE named = $1`, named).Scan(&chat, &greeted)
	})
	return chat, greeted, err
}

// MoveOperatorChat remembers where the chat that OPERATOR_CHAT names has moved to. Safe to
// repeat.
func (s *Store) MoveOperatorChat(ctx context.Context, named, chat int64) error {
	_, err := s.exec(ctx, "move operator's chat", `
		INSERT INTO operator_chats (named, chat) VALUES ($1, $2) ON CONFLICT (named) DO UPDATE SET chat = excluded.chat`, named, chat)
	return err
}

// GreetOperatorChat remembers that the chat which OPERATOR_CHAT names was greeted. Safe to
// repeat.
func (s *Store) GreetOperatorChat(ctx context.Context, named int64) error {
	_, err := s.exec(ctx, "greet operator's chat", `
		INSERT INTO operator_chats (named, chat, greeted_at) VALUES ($1, $1, now())
		ON CONFLICT (named) DO UPDATE SET greeted_at = coalesce(operator_chats.greeted_at, now())`, named)
	return err
}
