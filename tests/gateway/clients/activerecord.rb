# A rails console through a gateway: ruby activerecord.rb SOCKET PREPARED(0|1) ID
require 'active_record'
require 'json'

socket, prepared, id = ARGV
ActiveRecord::Base.establish_connection(
  adapter: 'mysql2', socket: socket, username: 'x', database: 'shop', prepared_statements: prepared == '1'
)
class Order < ActiveRecord::Base; end

said = {}
order = Order.find(id)
said[:read] = Order.where('id < ?', 5).order(:id).pluck(:id)
said[:tables] = Order.connection.tables.include?('orders')
begin
  order.update!(status: 'rails')
rescue ActiveRecord::StatementInvalid => e
  said[:refused] = e.message
end
Order.connection.execute("CALL safeconsole.elevate('a console', 'OPS-1')")
order = Order.find(id)
order.update!(status: "rails-#{rand(100_000)}")
said[:kept] = Order.find(id).status == order.status
made = Order.create!(order.attributes.except('id'))
said[:inserted] = made.id
made.destroy!
Order.transaction do
  order.update!(status: 'undone')
  raise ActiveRecord::Rollback
end
said[:undone] = Order.find(id).status != 'undone'
Order.connection.execute('CALL safeconsole.stand_down()')
begin
  Order.connection.select_all('SELECT table_name, data_length FROM information_schema.tables WHERE table_schema = "mysql"', nil)
rescue ActiveRecord::StatementInvalid => e
  said[:sizes] = e.message
end
puts JSON.generate(said)
