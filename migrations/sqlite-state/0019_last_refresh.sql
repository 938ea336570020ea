-- Who presented the refresh token whose successor is the newest: the network address, and what tells a browser.
ALTER TABLE sessions ADD COLUMN last_address TEXT;
ALTER TABLE sessions ADD COLUMN last_device TEXT;
