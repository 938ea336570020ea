-- Names of accounts that were renamed or deleted: backends may still know the account by them, so that nobody else gets
-- them until an operator frees them. No foreign key: a name outlives its account.
CREATE TABLE former_usernames (
    username_key text        COLLATE "C" PRIMARY KEY,
    username     text        NOT NULL,
    user_id      uuid        NOT NULL,
    since        timestamptz NOT NULL
);
