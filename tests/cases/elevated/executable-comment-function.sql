-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: a call put together from comments
SELECT /*! evil( */ 1 /*! ) */
