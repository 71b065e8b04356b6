-- +goose Up
ALTER TABLE users ADD COLUMN looked_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN users.looked_at IS 'When it was looked last whether the customer has never bought and fallen silent: then they are removed.';

CREATE SEQUENCE forgotten_number;
COMMENT ON SEQUENCE forgotten_number IS 'Under its negative the orders of a forgotten customer stay in the books. None is given twice.';
ALTER TABLE users
    DROP CONSTRAINT users_id_check,
    ADD CONSTRAINT users_id_check CHECK (id <> 0) NOT VALID;
COMMENT ON TABLE users IS 'Customers, by their Telegram id; who was forgotten has a negative number in its place.';

ALTER TABLE subscriptions
    DROP CONSTRAINT subscriptions_user_id_fkey,
    ADD CONSTRAINT subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON UPDATE CASCADE NOT VALID;
ALTER TABLE orders
    DROP CONSTRAINT orders_user_id_fkey,
    ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON UPDATE CASCADE NOT VALID;
ALTER TABLE dialogs
    DROP CONSTRAINT dialogs_user_id_fkey,
    ADD CONSTRAINT dialogs_user_id_fkey FOREIGN KEY (user_id) REFERENCES users ON UPDATE CASCADE NOT VALID;

COMMENT ON TABLE inbox IS 'Every update Telegram was told we have. Handled in order of arrival within a lane (one user); rows are kept 72 h to know redeliveries, without their bodies.';
COMMENT ON COLUMN inbox.update_id IS 'Of Telegram; negative once a dead update is too old to be redelivered, because Telegram may begin its numbers anew.';
COMMENT ON COLUMN payment_events.raw IS 'The provider''s own bytes; empty when their time is over, or the customer was forgotten.';

-- +goose Down
ALTER TABLE dialogs
    DROP CONSTRAINT dialogs_user_id_fkey,
    ADD CONSTRAINT dialogs_user_id_fkey FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE orders
    DROP CONSTRAINT orders_user_id_fkey,
    ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE subscriptions
    DROP CONSTRAINT subscriptions_user_id_fkey,
    ADD CONSTRAINT subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE users
    DROP CONSTRAINT users_id_check,
    ADD CONSTRAINT users_id_check CHECK (id <> 0),
    DROP COLUMN looked_at;
DROP SEQUENCE forgotten_number;
