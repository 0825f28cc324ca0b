-- elevate | to: primary | flavours: mysql, mariadb | effects: read, session | hazards: information-schema-sizes | why: the schema of the session, named in an executable comment
USE /*! information_schema */; SELECT data_length FROM tables
