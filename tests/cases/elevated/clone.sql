-- elevate | to: primary | flavours: mysql | effects: admin | hazards: none | why: copies every page
CLONE LOCAL DATA DIRECTORY = '/x'
