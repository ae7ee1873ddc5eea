-- How the neighbours of a head were searched: every class with every other, or among the nearest lists.

ALTER TABLE models ADD COLUMN search VARCHAR;         -- 'exact', or 'ivf' with its lists and how many were searched
-- The share of the 10 true nearest classes that are among the 10 stored, over a sample of classes: 1 where exact.
ALTER TABLE models ADD COLUMN recall DOUBLE;
ALTER TABLE models ADD COLUMN recall_low DOUBLE;      -- the lower end of its 95 % interval
ALTER TABLE models ADD COLUMN recall_all DOUBLE;      -- the same share of all the neighbours that are stored
ALTER TABLE models ADD COLUMN recall_sample INTEGER;  -- classes in that sample; NULL where exact
UPDATE models SET search = 'exact', recall = 1, recall_low = 1, recall_all = 1;
