INSERT INTO parked (consumers, topic, part, offset, parked, event, code, what) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (consumers, topic, part, offset) DO NOTHING
