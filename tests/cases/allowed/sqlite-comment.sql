-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT 1 --comment
, 2 /*! plain */
