// What a program that is checked may say to the sanitizer: annotations for what it cannot see. All of them do nothing without it.

export {};
