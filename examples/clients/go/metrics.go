package main

import (
	"encoding/json"
	"math"
)

// toJSON writes metrics as Millrace's JSON text, in which the numbers that JSON lacks are the strings "NaN",
// "Infinity" and "-Infinity".
func toJSON(metrics any) (string, error) {
	text, err := json.Marshal(spelled(metrics))
	return string(text), err
}

// fromJSON reads what toJSON wrote: maps, slices, strings, float64, bool and nil.
func fromJSON(text string) (any, error) {
	var value any
	err := json.Unmarshal([]byte(text), &value)
	return numbers(value), err
}

func spelled(value any) any {
	switch value := value.(type) {
	case float64:
		switch {
		case math.IsNaN(value):
			return "NaN"
		case math.IsInf(value, 1):
			return "Infinity"
		case math.IsInf(value, -1):
			return "-Infinity"
		}
	case map[string]any:
		return mapped(value, spelled)
	case []any:
		return each(value, spelled)
	}
	return value
}

func numbers(value any) any {
	switch value := value.(type) {
	case string:
		switch value {
		case "NaN":
			return math.NaN()
		case "Infinity":
			return math.Inf(1)
		case "-Infinity":
			return math.Inf(-1)
		}
	case map[string]any:
		return mapped(value, numbers)
	case []any:
		return each(value, numbers)
	}
	return value
}

func mapped(object map[string]any, change func(any) any) map[string]any {
	changed := make(map[string]any, len(object))
	for key, value := range object {
		changed[key] = change(value)
	}
	return changed
}

func each(array []any, change func(any) any) []any {
	changed := make([]any, len(array))
	for index, value := range array {
		changed[index] = change(value)
	}
	return changed
}
