package telegram

import (
	"strings"

	"go.uber.org/zap"
)

// method is how one documented method is carried out.
type method struct {
	run func(c *call) (any, error)
	// unlocked methods wait for the network or for updates and take the server's lock by themselves.
	unlocked bool
	// addressed methods count against the flood limits of the chat they name and against the global one.
	addressed bool
}

// invoke checks a call and carries it out.
func (s *Server) invoke(c *call) (any, error) {
	name, fields, known := s.table.Method(c.method)
	if !known {
		return nil, notFound(": method not found")
	}
	c.method, c.lenient = name, s.cfg.Lenient
	m, emulated := s.methods[name]
	if !emulated {
		return nil, s.violated(notEmulated(name))
	}
	err := s.checkCall(c, fields)
	var result any
	if err == nil {
		result, err = s.run(c, m)
	}
	if err != nil {
		s.log.Info("telegram sandbox: call refused", zap.String("method", name), zap.Error(err))
		return nil, err
	}
	return result, nil
}

func (s *Server) run(c *call, m method) (any, error) {
	if m.unlocked {
		return m.run(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.addressed {
		return m.run(c)
	}
	if _, err := s.reachable(c); err != nil && !strings.HasPrefix(c.method, "edit") && !strings.HasPrefix(c.method, "delete") {
		return nil, err // whoever cannot be reached is told so, however much was sent
	}
	giveBack, err := s.limit(c)
	s.noteCall(c, err)
	if err != nil {
		return nil, err
	}
	result, err := m.run(c)
	if err != nil {
		giveBack() // what is refused was not sent
	}
	return result, err
}

// methodTable names every emulated method.
func (s *Server) methodTable() map[string]method {
	table := map[string]method{
		"getUpdates": {run: s.getUpdates, unlocked: true},
		"setWebhook": {run: s.setWebhook, unlocked: true},
	}
	for name, run := range s.chatMethods() {
		table[name] = method{run: run, addressed: true}
	}
	for name, run := range s.plainMethods() {
		table[name] = method{run: run}
	}
	return table
}

func (s *Server) chatMethods() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"sendMessage":            s.sendMessage,
		"sendPhoto":              s.sendPhoto,
		"sendDocument":           s.sendDocument,
		"sendInvoice":            s.sendInvoice,
		"sendChatAction":         s.sendChatAction,
		"editMessageText":        s.editMessageText,
		"editMessageCaption":     s.editMessageCaption,
		"editMessageMedia":       s.editMessageMedia,
		"editMessageReplyMarkup": s.editMessageReplyMarkup,
		"deleteMessage":          s.deleteMessage,
		"deleteMessages":         s.deleteMessages,
	}
}

func (s *Server) plainMethods() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"getMe":                  s.getMe,
		"getChat":                s.getChat,
		"getFile":                s.getFile,
		"getWebhookInfo":         s.getWebhookInfo,
		"deleteWebhook":          s.deleteWebhook,
		"answerCallbackQuery":    s.answerCallbackQuery,
		"answerPreCheckoutQuery": s.answerPreCheckoutQuery,
		"createInvoiceLink":      s.createInvoiceLink,
		"refundStarPayment":      s.refundStarPayment,
		"getStarTransactions":    s.getStarTransactions,
		"getMyStarBalance":       s.getMyStarBalance,
		"setMyCommands":          s.setMyCommands,
		"getMyCommands":          s.getMyCommands,
		"deleteMyCommands":       s.deleteMyCommands,
		"setMyName":              s.setMyText("name", 64),
		"getMyName":              s.getMyText("name"),
		"setMyDescription":       s.setMyText("description", 512),
		"getMyDescription":       s.getMyText("description"),
		"setMyShortDescription":  s.setMyText("short_description", 120),
		"getMyShortDescription":  s.getMyText("short_description"),
		"setChatMenuButton":      s.setChatMenuButton,
		"getChatMenuButton":      s.getChatMenuButton,
	}
}

// executableInReply reports whether a webhook answer's body may hold a call of the method.
func executableInReply(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "", "setwebhook", "deletewebhook", "close", "logout":
		return false
	}
	return !strings.HasPrefix(name, "get")
}
