# ---- cells: how one is run, and what is told of its error ----

LINES_MAX <- 100
WARNINGS_MAX <- 50

run_cell <- function(code, name, silent) {
  lines <- strsplit(code, "\n", fixed = TRUE)[[1]]
  expressions <- parse(text = lines, srcfile = srcfilecopy(name, lines), keep.source = TRUE, encoding = "UTF-8")
  for (at in seq_along(expressions)) {
    state$depth <- sys.nframe() + 3
    got <- withVisible(eval(expressions[at], globalenv()))
    state$depth <- Inf
    assign(".Last.value", got$value, baseenv())
    if (got$visible && !silent) show_visible(got$value, at == length(expressions))
    tell_warnings()
    keep_page()
  }
}

# The last is the cell's value. Others are printed as R prints them, unless there is more to see than that.
show_visible <- function(value, last) {
  if (last || is_bundle(value) || is.data.frame(value)) show_value(value, last)
  else if (isS4(value)) methods::show(value)
  else print(value)
}

# Answers NULL, or how it ended: an outcome and what is told of it.
attempt <- function(work) {
  calls <- list()
  ended <- function(outcome, name, message, traceback = message) {
    list(outcome = outcome, name = name, message = message, traceback = traceback)
  }
  failed <- function(error) {
    message <- paste(tryCatch(conditionMessage(error), error = function(e) ""), collapse = "\n")
    ended("error", class(error)[1], message, c(headline(error, message, calls), frames_of(calls)))
  }
  quitted <- function(status) {
    call <- sprintf("quit(status = %s)", format(status))
    ended("error", "quit", call)
  }
  withRestarts(quit_cell = quitted, {
    tryCatch({
      withCallingHandlers(allowInterrupts(work()), error = function(e) calls <<- sys.calls(), warning = note_warning)
      NULL
    }, error = failed, interrupt = function(e) ended("interrupted", "interrupt", "The cell was interrupted."))
  })
}

is_own <- function(call, calls) {
  own <- calls[seq_len(min(state$depth, length(calls)))]
  any(vapply(own, identical, NA, call))
}

# Kept until the expression ends, as R does; not in R's own way, which takes a cell for a call that R makes.
note_warning <- function(condition) {
  if (!identical(as.numeric(getOption("warn")), 0)) return(invisible())
  call <- conditionCall(condition)
  if (!is.null(call) && is_own(call, sys.calls())) call <- NULL
  if (length(state$warnings) < WARNINGS_MAX) {
    state$warnings <- c(state$warnings, structure(list(call), names = conditionMessage(condition)))
  }
  invokeRestart("muffleWarning")
}

tell_warnings <- function() {
  .Internal(printDeferredWarnings())
  count <- length(state$warnings)
  if (count == 0) return(invisible())
  noted <- structure(state$warnings, class = "warnings")
  state$warnings <- list()
  assign("last.warning", unclass(noted), baseenv())
  all <- if (count == WARNINGS_MAX) sprintf("%d or more", count) else count
  text <- if (count > 10) paste("There were", all, "warnings (use warnings() to see them)") else printed(noted)
  writeLines(text, stderr())
}

# As R says it, without a call that is ours.
headline <- function(error, message, calls) {
  call <- conditionCall(error)
  if (!is.call(call) || is_own(call, calls)) return(paste("Error:", message))
  text <- deparse(call, nlines = 1)[1]
  paste0("Error in ", text, if (nchar(text) + nchar(message) > 60) " : \n  " else " : ", message)
}

# The last call first, as traceback() has them.
frames_of <- function(calls) {
  handlers <- vapply(calls, function(call) {
    identical(call[[1]], quote(.handleSimpleError)) || identical(call[[1]], quote(.signalSimpleWarning))
  }, NA)
  to <- if (any(handlers)) which(handlers)[1] - 1 else length(calls) - 1
  if (to <= state$depth) return(character())
  calls <- calls[seq(state$depth + 1, to)]
  text <- vapply(seq_along(calls), function(at) {
    from <- attr(calls[[at]], "srcref")
    place <- if (is.null(from)) "" else paste0(" at ", attr(from, "srcfile")$filename, "#", from[1])
    paste0(at, ": ", paste(deparse(calls[[at]], nlines = 3), collapse = "\n   "), place)
  }, "")
  if (length(text) > LINES_MAX) {
    left <- sprintf("(and %d more)", length(text) - LINES_MAX)
    text <- c(text[seq_len(LINES_MAX / 2)], left, text[seq(to = length(text), length.out = LINES_MAX / 2)])
  }
  rev(text)
}

facts_of <- function(end) {
  lines <- unlist(strsplit(end$traceback, "\n", fixed = TRUE))
  list(name = end$name, message = end$message, traceback = as.list(lines))
}

tell_error <- function(end) {
  facts <- facts_of(end)
  if (is_child()) writeLines(unlist(facts$traceback), stderr())
  say(c(list(say = "error"), facts))
}

# After a cell, and changing nothing of how that ended.
express <- function(name, source) {
  forms <- NULL
  end <- attempt(function() {
    code <- parse(text = source, keep.source = FALSE, encoding = "UTF-8")
    state$depth <- sys.nframe() + 2
    forms <<- forms_of(eval(code, globalenv()))
  })
  state$depth <- Inf
  told <- if (is.null(end)) list(forms = forms) else list(error = facts_of(end))
  say(c(list(say = "expression", name = name), told))
}

# An interrupt that came where there was nothing to interrupt is not the next cell's.
forget_interrupt <- function() tryCatch(allowInterrupts(Sys.sleep(0)), interrupt = function(e) NULL)

run <- function(command) {
  silent <- isTRUE(command$silent)
  forget_interrupt()
  state$cell <- command$cell
  state$input <- isTRUE(command$input)
  if (!is.null(command$max)) state$word_max <- command$max
  word <- list(say = "started", cell = command$cell)
  if (!silent && !isTRUE(command$uncounted)) word$count <- state$count <- state$count + 1
  say(word)
  before <- Sys.getenv(names(command$env), NA, names = TRUE)
  if (length(command$env) > 0) do.call(Sys.setenv, command$env)
  end <- attempt(function() run_cell(command$code, sprintf("<cell %d>", command$cell), silent))
  state$depth <- Inf
  tell_warnings()
  if (!is.null(end)) tell_error(end)
  late <- attempt(finish_figures)
  if (is_child()) leave(if (is.null(end)) 0 else 1)
  if (is.null(end) && !is.null(late)) tell_error(end <- late)
  if (is.null(end)) for (name in names(command$expressions)) express(name, command$expressions[[name]])
  Sys.unsetenv(names(before)[is.na(before)])
  if (!all(is.na(before))) do.call(Sys.setenv, as.list(before[!is.na(before)]))
  state$cell <- NULL
  outcome <- if (is.null(end)) "ok" else end$outcome
  say(list(say = "ended", cell = command$cell, outcome = outcome))
}
