-- +goose Up

-- At least six digits, and as many as the number has.
ALTER TABLE subscriptions ALTER COLUMN access_id SET DEFAULT 'a' || to_char(nextval('access_number'), 'FM9999999999999000000');

-- +goose Down
ALTER TABLE subscriptions ALTER COLUMN access_id SET DEFAULT 'a' || lpad(nextval('access_number')::text, 6, '0');
