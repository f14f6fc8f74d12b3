-- Flushes the log up to here: for this statement alone, the commit waits to be durable.
UPDATE tidings.relay SET changed = clock_timestamp() WHERE epoch = $1
RETURNING set_config('synchronous_commit', 'local', true)
