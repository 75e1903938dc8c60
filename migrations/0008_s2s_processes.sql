-- The processes that send what is in s2s_queue. Rows of a process that is not here belong to nobody, and whoever sees them first
-- may take them.
CREATE TABLE s2s_processes (
    process BIGINT NOT NULL PRIMARY KEY, -- random for each start, as in s2s_queue
    home    BIGINT NOT NULL,             -- a hash that names its data directory, in which only one process can run
    beat    BIGINT NOT NULL              -- rises as long as the process lives
);
-- What a process has to send, in order.
CREATE INDEX s2s_queue_by_process ON s2s_queue (process, id);
