-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: four digits become code
SELECT 1 /*!5000 + f() */
