// Counts the words of several texts at the same time, a goroutine each, and joins the results.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"unicode"
)

var texts = []string{
	"The quick brown fox jumps over the lazy dog.",
	"Der schnelle Fuchs: über den Hund, über den Bach!",
	"the dog sleeps; the fox — the quick one — does not.",
}

type count struct {
	Word  string `json:"word"`
	Times int    `json:"times"`
}

func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
}

func main() {
	found := make(chan string)
	var readers sync.WaitGroup
	for _, text := range texts {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for _, word := range words(text) {
				found <- word
			}
		}()
	}
	go func() {
		readers.Wait()
		close(found)
	}()

	times := map[string]int{}
	for word := range found {
		times[word]++
	}
	counts := []count{}
	for word, n := range times {
		if n > 1 {
			counts = append(counts, count{word, n})
		}
	}
	sort.Slice(counts, func(i, j int) bool {
		if counts[i].Times != counts[j].Times {
			return counts[i].Times > counts[j].Times
		}
		return counts[i].Word < counts[j].Word
	})
	encoder := json.NewEncoder(os.Stdout)
	for _, entry := range counts {
		if err := encoder.Encode(entry); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println(len(times), "different words")
}
