-- +goose Up

CREATE TABLE users (
    id         bigint PRIMARY KEY CHECK (id > 0),
    language   text NOT NULL,
    chosen     boolean NOT NULL DEFAULT false,
    reachable  boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE users IS 'Customers, by their Telegram id.';

CREATE SEQUENCE access_number;

CREATE TABLE subscriptions (
    user_id       bigint PRIMARY KEY REFERENCES users,
    access_id     text NOT NULL UNIQUE DEFAULT 'a' || lpad(nextval('access_number')::text, 6, '0'),
    uuid          uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    plan          text NOT NULL DEFAULT '',
    status        text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'waiting', 'active', 'expired')),
    expires_at    timestamptz,
    waiting_since timestamptz,
    delay_told    boolean NOT NULL DEFAULT false,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (status = 'new' OR expires_at IS NOT NULL),
    CHECK ((status = 'waiting') = (waiting_since IS NOT NULL))
);
COMMENT ON TABLE subscriptions IS 'What each customer is entitled to: the desired state that every node converges to.';
CREATE INDEX subscriptions_granted ON subscriptions (access_id) WHERE status IN ('waiting', 'active');
CREATE INDEX subscriptions_due ON subscriptions (expires_at) WHERE status = 'active';
CREATE INDEX subscriptions_waiting ON subscriptions (waiting_since) WHERE status = 'waiting';

CREATE TABLE orders (
    id             uuid PRIMARY KEY,
    user_id        bigint NOT NULL REFERENCES users,
    plan           text NOT NULL,
    period_id      text NOT NULL,
    period_seconds bigint NOT NULL CHECK (period_seconds > 0),
    price_minor    bigint NOT NULL CHECK (price_minor > 0),
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status         text NOT NULL CHECK (status IN ('open', 'paid', 'expired', 'cancelled')),
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    paid_at        timestamptz,
    delivered_at   timestamptz,
    CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    CHECK (delivered_at IS NULL OR status = 'paid')
);
COMMENT ON TABLE orders IS 'Wishes to buy; everything a purchase means is fixed in the row.';
CREATE UNIQUE INDEX orders_one_open ON orders (user_id) WHERE status = 'open';
CREATE INDEX orders_unpaid ON orders (expires_at) WHERE status = 'open';
CREATE INDEX orders_undelivered ON orders (user_id) WHERE status = 'paid' AND delivered_at IS NULL;

CREATE TABLE invoices (
    order_id     uuid NOT NULL REFERENCES orders,
    provider     text NOT NULL,
    external_id  text,
    url          text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    PRIMARY KEY (order_id, provider),
    UNIQUE (provider, external_id),
    CHECK ((external_id IS NULL) = (url IS NULL))
);
COMMENT ON TABLE invoices IS 'What a provider was asked to collect for an order.';
COMMENT ON COLUMN invoices.external_id IS 'Null from the moment the invoice is asked for until its answer is stored: such an invoice is looked for before another is made.';
CREATE INDEX invoices_requested ON invoices (requested_at);

CREATE TABLE payment_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider    text NOT NULL,
    external_id text NOT NULL,
    order_id    uuid REFERENCES orders,
    outcome     text NOT NULL CHECK (outcome IN ('settled', 'flagged')),
    reason      text NOT NULL DEFAULT '',
    invoiced_minor bigint NOT NULL,
    currency    text NOT NULL,
    paid_asset  text NOT NULL,
    paid_amount text NOT NULL,
    fee_asset   text NOT NULL,
    fee_amount  text NOT NULL,
    paid_at     timestamptz,
    raw         bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((outcome = 'settled') = (reason = '')),
    CHECK (outcome = 'flagged' OR order_id IS NOT NULL)
);
COMMENT ON TABLE payment_events IS 'Every verified word of a provider that money came in. One settled event per payment; a flagged one awaits an operator.';
CREATE UNIQUE INDEX payment_events_settled ON payment_events (provider, external_id) WHERE outcome = 'settled';
CREATE UNIQUE INDEX payment_events_flagged ON payment_events (provider, external_id, reason) WHERE outcome = 'flagged';
CREATE UNIQUE INDEX payment_events_order ON payment_events (order_id) WHERE outcome = 'settled';

CREATE TABLE ledger_postings (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    order_id   uuid NOT NULL REFERENCES orders,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, order_id)
);
COMMENT ON TABLE ledger_postings IS 'Transactions of the double-entry ledger; append-only.';
CREATE TABLE ledger_entries (
    posting_id bigint NOT NULL REFERENCES ledger_postings,
    account    text NOT NULL,
    minor      bigint NOT NULL CHECK (minor <> 0),
    currency   text NOT NULL,
    PRIMARY KEY (posting_id, account, currency)
);
CREATE INDEX ledger_entries_account ON ledger_entries (account, currency);
COMMENT ON TABLE ledger_entries IS 'Double entry: the entries of a posting sum to zero per currency, checked when the transaction commits. Debit is positive.';

-- +goose StatementBegin
CREATE FUNCTION ledger_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked bigint;
BEGIN
    IF TG_TABLE_NAME = 'ledger_postings' THEN
        checked := NEW.id;
    ELSE
        checked := NEW.posting_id;
    END IF;
    IF NOT EXISTS (SELECT FROM ledger_entries WHERE posting_id = checked)
       OR EXISTS (SELECT FROM ledger_entries WHERE posting_id = checked GROUP BY currency HAVING sum(minor) <> 0) THEN
        RAISE EXCEPTION 'posting % does not balance', checked USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_balance();
CREATE CONSTRAINT TRIGGER ledger_not_empty AFTER INSERT ON ledger_postings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_balance();

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_postings_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE nodes (
    name       text PRIMARY KEY,
    boot_at    timestamptz NOT NULL,
    drifted    boolean NOT NULL,
    checked_at timestamptz NOT NULL,
    synced_at  timestamptz NOT NULL
);
COMMENT ON TABLE nodes IS 'What is remembered of each VPN server between two checks.';

-- +goose Down
DROP TABLE nodes, ledger_entries, ledger_postings, payment_events, invoices, orders, subscriptions, users;
DROP FUNCTION refuse_change, ledger_check_balance;
DROP SEQUENCE access_number;
