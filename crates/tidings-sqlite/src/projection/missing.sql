INSERT INTO tidings_projection_missing (name, entity, timeline, version, time) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (name, entity) DO UPDATE SET timeline = excluded.timeline, version = excluded.version, time = excluded.time
