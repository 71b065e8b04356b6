-- +goose Up

-- An amount in coins has nine digits after the point; it had two. What was booked of such
-- payments, which fit no order, is booked once more for the rest.
WITH coarse AS (
    SELECT p.id, p.reference FROM payment_events e
    JOIN ledger_postings p ON p.kind = 'suspense' AND p.reference = e.provider || ':' || e.external_id
    JOIN ledger_entries booked ON booked.posting_id = p.id AND booked.currency = e.currency
    WHERE e.outcome = 'flagged' AND abs(e.invoiced_minor) < 900000000000
        AND e.currency NOT IN ('XTR', 'AED', 'AMD', 'AZN', 'BRL', 'BYN', 'CNY', 'EUR', 'GBP', 'GEL', 'IDR', 'ILS', 'INR', 'KZT', 'PLN', 'RUB', 'THB', 'TRY', 'UAH', 'USD', 'UZS')
    GROUP BY 1, 2
), finer AS (
    INSERT INTO ledger_postings (kind, reference) SELECT 'finer', reference FROM coarse RETURNING id, reference
)
INSERT INTO ledger_entries (posting_id, account, minor, currency)
SELECT finer.id, e.account, e.minor * 9999999, e.currency
FROM finer JOIN coarse USING (reference) JOIN ledger_entries e ON e.posting_id = coarse.id;

UPDATE payment_events SET invoiced_minor = invoiced_minor * 10000000
WHERE outcome = 'flagged' AND abs(invoiced_minor) < 900000000000
    AND currency NOT IN ('XTR', 'AED', 'AMD', 'AZN', 'BRL', 'BYN', 'CNY', 'EUR', 'GBP', 'GEL', 'IDR', 'ILS', 'INR', 'KZT', 'PLN', 'RUB', 'THB', 'TRY', 'UAH', 'USD', 'UZS');

-- +goose Down
