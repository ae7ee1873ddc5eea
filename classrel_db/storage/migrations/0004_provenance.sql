-- Where a head came from, in more detail. Models that were stored before have NULL in each of these.

ALTER TABLE models ADD COLUMN revision VARCHAR;      -- of the repository or package that the weights are in
ALTER TABLE models ADD COLUMN etag VARCHAR;          -- the server's mark of the state of the file
ALTER TABLE models ADD COLUMN dtype VARCHAR;         -- what the weights are stored as: F32, BF16, F8_E4M3, I8, …
-- What rounding to that may have changed in a row, as a share of the row's length: the largest of all
-- rows. 0 where nothing was rounded.
ALTER TABLE models ADD COLUMN weight_error DOUBLE;
ALTER TABLE models ADD COLUMN cosine_error DOUBLE;   -- what it may have changed in any cosine, at most
ALTER TABLE models ADD COLUMN license VARCHAR;       -- of the weights, as their source states it; NULL where it does not
ALTER TABLE models ADD COLUMN reference VARCHAR;     -- what to read about them, as their source names it
ALTER TABLE models ADD COLUMN versions VARCHAR;      -- of classrel and of the packages loaded when they were read
