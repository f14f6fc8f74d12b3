INSERT INTO tidings_publish (type, entity, version, data, effectivefrom, effectiveuntil, traceparent, contenttype,
    checked)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)
