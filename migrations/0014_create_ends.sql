-- +goose Up

CREATE TABLE ends (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    judged_at  timestamptz NOT NULL DEFAULT now(),
    held       integer NOT NULL DEFAULT 0 CHECK (held >= 0),
    held_since timestamptz,
    CHECK ((held > 0) = (held_since IS NOT NULL))
);
COMMENT ON TABLE ends IS 'Until when it was judged what has run out, and how many ends are held because the clock seems to have leapt.';
INSERT INTO ends DEFAULT VALUES;

ALTER TABLE processes ADD COLUMN clock_ahead interval NOT NULL DEFAULT '0';
COMMENT ON COLUMN processes.clock_ahead IS 'By how much its clock was ahead of this one''s at its last sign of life; negative: behind.';

-- +goose Down
ALTER TABLE processes DROP COLUMN clock_ahead;
DROP TABLE ends;
