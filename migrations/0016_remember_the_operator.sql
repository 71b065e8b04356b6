-- +goose Up

ALTER TABLE incidents
    ADD COLUMN count int NOT NULL DEFAULT 0,
    ADD COLUMN told_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN incidents.count IS 'Of what waits for the operator, when they were told last: they are told when there is more.';
COMMENT ON COLUMN incidents.told_at IS 'When the operator was told of it last.';

CREATE TABLE operator_chats (
    named      bigint PRIMARY KEY,
    chat       bigint NOT NULL,
    greeted_at timestamptz
);
COMMENT ON TABLE operator_chats IS 'What became of each chat that OPERATOR_CHAT has named.';
COMMENT ON COLUMN operator_chats.chat IS 'Where it is now: a group that becomes a supergroup gets another number.';
COMMENT ON COLUMN operator_chats.greeted_at IS 'When it was told that it will be told of incidents; null means not yet.';

-- +goose Down
DROP TABLE operator_chats;
ALTER TABLE incidents DROP COLUMN told_at, DROP COLUMN count;
