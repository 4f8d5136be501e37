# Finds the anagrams in a list of words, whatever their case and accents.
WORDS = %w[listen Silent enlist état tâte google elbow below inlets Élan naïve]

def letters(word)
  word.unicode_normalize(:nfd).gsub(/\p{Mn}/, "").downcase.chars.sort.join
end

groups = WORDS.group_by { |word| letters(word) }
              .values
              .select { |words| words.size > 1 }
              .sort_by { |words| [-words.size, words.first.downcase] }

groups.each_with_index do |words, index|
  puts "#{index + 1}. #{words.sort_by(&:downcase).join(", ")}"
end
puts "#{groups.sum(&:size)} of #{WORDS.size} words have anagrams"
