# Keeps a Ruby's state between cells: told what to run on what was its standard input, it says what came of it on what
# was its descriptor 3, a JSON object in each line. Cells are evaluated in one binding of the main object.
require "json"

class SylaKernel
  TEXT_MAX = 1 << 20
  FORMS = { "text/html" => :to_html, "text/markdown" => :to_markdown, "image/svg+xml" => :to_svg,
            "image/png" => :to_png, "text/latex" => :to_latex }.freeze

  def initialize(place)
    @place = place
    @commands = IO.for_fd(STDIN.fcntl(1030, 900)) # F_DUPFD_CLOEXEC
    @words = IO.for_fd(IO.for_fd(3, autoclose: false).fcntl(1030, 900), "w")
    IO.for_fd(3).close
    STDIN.reopen(File::NULL)
    @words.sync = $stdout.sync = $stderr.sync = true
    @count = 0
    @word_max = 1 << 24
    @lock = Mutex.new
    @main = Thread.current
    @process = Process.pid
  end

  def say(word)
    return if Process.pid != @process
    line = JSON.generate(word)
    line = JSON.generate(less(word, line.bytesize)) if line.bytesize > @word_max
    Thread.handle_interrupt(Interrupt => :never) { @lock.synchronize { @words.write(line, "\n") } }
  end

  def less(word, size)
    text = "(#{size} bytes are more than can be shown)"
    return word.merge(forms: { "text/plain" => text }) if word[:forms]
    return word.merge(message: text, traceback: []) if word[:say] == "error"
    { say: "reply", to: word[:to] }
  end

  def ask(prompt, password)
    return nil unless @input && Thread.current == @main && Process.pid == @process
    say(say: "input", prompt: prompt, password: password)
    command = JSON.parse(@commands.gets || exit!(0))
    command["text"]
  end

  def show(value, main: false)
    say(say: "result", main: main, forms: forms_of(value))
  end

  def forms_of(value)
    forms = value.is_a?(Hash) && !value.empty? && value.keys.all? { |key| key.to_s.include?("/") } ? given(value) : {}
    FORMS.each do |mime, name|
      next unless forms[mime].nil? && value.respond_to?(name) && !value.is_a?(Module)
      made = value.public_send(name) rescue next
      forms[mime] = form(mime, made) if made.is_a?(String)
    end
    forms["text/plain"] ||= plain(value)
    forms
  end

  def given(value)
    value.to_h { |mime, data| [mime.to_s, form(mime.to_s, data)] }
  end

  def form(mime, data)
    return { base64: [data].pack("m0") } if mime.start_with?("image/") && mime != "image/svg+xml"
    data.is_a?(String) ? data.encode("UTF-8", invalid: :replace, undef: :replace) : JSON.generate(data)
  end

  def plain(value)
    text = value.inspect.encode("UTF-8", invalid: :replace, undef: :replace)
    text.length > TEXT_MAX ? "#{text[0, TEXT_MAX]} (and #{text.length - TEXT_MAX} more)" : text
  end

  # Interrupts are let through here and nowhere else.
  def run(command)
    @cell, @input = command["cell"], command["input"]
    @word_max = command["max"] || @word_max
    word = { say: "started", cell: @cell }
    word[:count] = (@count += 1) unless command["silent"] || command["uncounted"]
    say(word)
    env = command["env"] || {}
    before = env.keys.to_h { |name| [name, ENV[name]] }
    ENV.update(env)
    outcome = attempt(command["code"], command["silent"])
    (command["expressions"] || {}).each { |name, source| express(name, source) } if outcome == "ok"
    ENV.update(before)
    exit!(outcome == "ok" ? 0 : 1) if Process.pid != @process
    number, @cell = @cell, nil
    say(say: "ended", cell: number, outcome: outcome)
  end

  def attempt(code, silent)
    Thread.handle_interrupt(Interrupt => :immediate) do
      value = @place.eval(code, "<cell #{@cell}>", 1)
      show(value, main: true) unless silent || value.nil? || code.rstrip.end_with?(";")
    end
    "ok"
  rescue Interrupt => error
    tell(error)
    "interrupted"
  rescue Exception => error # also exit: the session goes on
    tell(error)
    "error"
  ensure
    $stdout.flush
  end

  # After a cell, and changing nothing of how that ended.
  def express(name, source)
    Thread.handle_interrupt(Interrupt => :immediate) do
      say(say: "expression", name: name, forms: forms_of(@place.eval(source, "<expression>", 1)))
    end
  rescue Exception => error
    say(say: "expression", name: name, error: facts_of(error))
  end

  def facts_of(error)
    # What is ours is a string that was evaluated, and has no file.
    lines = (error.backtrace || []).take_while { |line| !line.start_with?("<kernel>") }
    text = error.message.to_s.encode("UTF-8", invalid: :replace, undef: :replace)
    { name: error.class.name.to_s, message: text, traceback: ["#{error.class}: #{text}", *lines] }
  rescue StandardError
    { name: error.class.name.to_s, message: "", traceback: [] }
  end

  def tell(error)
    facts = facts_of(error)
    say(say: "error", **facts)
    warn(*facts[:traceback]) if Process.pid != @process
  end

  def answer(command)
    reply = {}
    code = command["code"]
    case command["do"]
    when "complete" then reply = complete(code[0, command["cursor"]])
    when "check" then reply = { verdict: verdict(code) }
    when "inspect" then reply = inspected(code, command["cursor"])
    end
  rescue Exception
    reply = {}
  ensure
    say(reply.merge(say: "reply", to: command["id"]))
  end

  def complete(before)
    _, object, word = */((?:[\w:@$]+\.)?)([\w@$]*[?!]?)\z/.match(before)
    names = object.empty? ? all_names : @place.eval(object.chomp(".")).methods
    found = names.map(&:to_s).select { |name| name.start_with?(word) && name =~ /\A[\w@$?!]+\z/ }.uniq.sort
    { matches: found.first(500), start: before.length - word.length, end: before.length }
  end

  def all_names
    @place.local_variables + @place.receiver.methods + @place.receiver.private_methods + Object.constants +
      global_variables
  end

  def verdict(code)
    RubyVM::InstructionSequence.compile(code)
    "complete"
  rescue SyntaxError => error
    error.message =~ /end-of-input|end of file|unterminated|expected an? .*`end`|meets end/ ? "incomplete" : "invalid"
  end

  def inspected(code, cursor)
    name = code[0, cursor][/[\w:@$.]*\z/] + code[cursor..][/\A\w*/]
    return { found: false } if name.empty?
    value = @place.eval(name)
    { found: true, forms: { "text/plain" => "Type: #{value.class}\nValue: #{plain(value)[0, 10_000]}" } }
  end

  def serve
    kernel, main = self, @main
    trap("INT") { main.raise(Interrupt, "") if kernel.instance_variable_get(:@cell) }
    say(say: "ready")
    Thread.handle_interrupt(Interrupt => :never) do
      loop do
        command = JSON.parse(@commands.gets || exit!(0))
        case command["do"]
        when "run" then run(command)
        when "answer" then next
        else answer(command)
        end
        # One that came as the cell ended is not the next cell's.
        begin
          Thread.handle_interrupt(Interrupt => :immediate) { Thread.pass }
        rescue Interrupt
          next
        end
      end
    end
  end
end

# Standard input, as far as there is somebody to answer.
class SylaInput
  include Enumerable

  def initialize(kernel) = @kernel = kernel

  def gets(*)
    text = @kernel.ask("", false)
    text && "#{text}\n"
  end

  def getpass(prompt = "Password: ") = @kernel.ask(prompt, true)
  def readline(*) = gets || raise(EOFError, "end of file reached")

  def each_line(*)
    return to_enum(:each_line) unless block_given?
    while (line = gets) do yield line end
  end

  alias each each_line
  def read(*) = each_line.to_a.join
  def readlines(*) = to_a
  def tty? = false
  alias isatty tty?
  def fileno = 0
end

kernel = SylaKernel.new(TOPLEVEL_BINDING.dup)
$stdin = SylaInput.new(kernel)
$PROGRAM_NAME = "cell"
Object.send(:define_method, :show) { |*values| values.each { |value| kernel.show(value) } && nil }
Object.send(:private, :show)
Kernel.send(:define_method, :gets) { |*| $stdin.gets }
kernel.serve
