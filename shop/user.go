package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// UserID is a customer's Telegram id.
type UserID int64

// Language is a language that the shop speaks, by its two-letter code.
type Language string

// The languages that the shop speaks.
const (
	English Language = "en"
	Russian Language = "ru"
)

// Languages returns every language that the shop speaks, the fallback first.
func Languages() []Language { return []Language{English, Russian} }

// User is a customer.
type User struct {
	ID        UserID
	Language  Language // a guess until LanguageChosen
	Chosen    bool     // the customer has been asked for their language
	Reachable bool     // false once they have blocked the bot, until they write again
	Missed    bool     // they could not be told something since, and are told when they are back
	CreatedAt time.Time
}

// Users is what the shop asks of the storage about customers.
type Users interface {
	// User returns the user, or ErrNotFound.
	User(ctx context.Context, id UserID) (User, error)
	// SetLanguage records the customer's choice.
	SetLanguage(ctx context.Context, id UserID, language Language) error
	// SetReachable records whether messages get through to the customer.
	SetReachable(ctx context.Context, id UserID, reachable bool) error
	// Miss notes that a customer who cannot be reached could not be told something. It
	// reports false, and notes nothing, if they can be reached.
	Miss(ctx context.Context, id UserID) (bool, error)
	// Told notes that a customer who can be reached has missed nothing any more.
	Told(ctx context.Context, id UserID) error
}

// UserTx is what a transaction does with customers.
type UserTx interface {
	// AddUser stores a customer whose language is guessed, unless they are stored.
	AddUser(ctx context.Context, id UserID, guess Language) error
	// LockUser returns the customer, locked, or ErrNotFound.
	LockUser(ctx context.Context, id UserID) (User, error)
	// SetReachable records whether messages get through to the customer.
	SetReachable(ctx context.Context, id UserID, reachable bool) error
}

// Enter returns the customer who has just written to us, created if new. The
// language of their client is a first guess. Who comes back after having blocked us is
// told what could not be told meanwhile.
func (s *Shop) Enter(ctx context.Context, id UserID, clientLanguage string) (User, error) {
	user, err := s.store.User(ctx, id)
	if (err == nil && user.Reachable) || (err != nil && !errors.Is(err, ErrNotFound)) {
		return user, err
	}
	return do(ctx, s.store, "enter user", func(ctx context.Context, tx Tx) (User, error) {
		if err := tx.AddUser(ctx, id, GuessLanguage(clientLanguage)); err != nil {
			return User{}, err
		}
		user, err := tx.LockUser(ctx, id)
		if err != nil || user.Reachable {
			return user, err
		}
		user.Reachable = true
		if err := tx.SetReachable(ctx, id, true); err != nil || !user.Missed {
			return user, err
		}
		return user, tx.Enqueue(ctx, Notify{UserID: id, Notice: NoticeMissed})
	})
}

// LanguageOf returns the language to answer in: the customer's own, or a guess if it
// cannot be read.
func (s *Shop) LanguageOf(ctx context.Context, id UserID, clientLanguage string) Language {
	user, err := s.store.User(ctx, id)
	if err != nil {
		return GuessLanguage(clientLanguage)
	}
	return user.Language
}

// ChooseLanguage records the customer's choice; ErrNoLanguage if it is not spoken.
func (s *Shop) ChooseLanguage(ctx context.Context, id UserID, language Language) error {
	if !slices.Contains(Languages(), language) {
		return fmt.Errorf("language %q: %w", language, ErrNoLanguage)
	}
	return s.store.SetLanguage(ctx, id, language)
}

// Left records that the customer has blocked the bot.
func (s *Shop) Left(ctx context.Context, id UserID) error {
	return s.store.SetReachable(ctx, id, false)
}

// GuessLanguage picks the spoken language nearest to an IETF tag: Russian for
// the tags of countries where most people read it, else English.
func GuessLanguage(tag string) Language {
	base := tag
	if len(base) > 2 {
		base = base[:2]
	}
	if slices.Contains([]string{"ru", "uk", "be", "kk", "ky", "uz", "tg", "tk", "az", "hy"}, base) {
		return Russian
	}
	return English
}
