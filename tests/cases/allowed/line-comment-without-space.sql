-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: -- is a comment only before white space
SELECT 5--1 AS six
