-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: information-schema-sizes | why: the same, grouped
select table_schema "db", round(sum(data_length + index_length)/1024/1024, 1) "MB" from information_schema.tables group by table_schema order by 2 desc
