INSERT INTO tidings_publish
    (type, entity, version, data, effectivefrom, effectiveuntil, traceparent, contenttype, time, checked)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 2)
