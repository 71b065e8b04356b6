-- +goose Up

ALTER TABLE lanes ADD COLUMN turn bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN lanes.turn IS 'Which of the turns of its holder; the program before numbers none.';

-- +goose Down
ALTER TABLE lanes DROP COLUMN turn;
