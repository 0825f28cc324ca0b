# A rails console that asks the primary: prints ROWS:ERROR:MESSAGE.
require 'active_record'

ActiveRecord::Base.establish_connection(
  adapter: 'mysql2', socket: ENV['G_SOCKET'], username: 'x', database: 'shop'
)
connection = ActiveRecord::Base.connection
connection.execute("CALL safeconsole.use('primary')")
begin
  puts "#{connection.select_all(ENV['G_SQL']).rows.size}:0:"
rescue ActiveRecord::StatementInvalid => e
  puts "0:#{e.cause.error_number}:#{e.message}"
end
